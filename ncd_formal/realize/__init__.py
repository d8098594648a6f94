"""From a derived schedule to code that runs.

Its Triton source; its interpretation and compilation, neither of which needs a GPU; the judges of
its accuracy; its registration with PyTorch.  Nothing is imported here: the modules need torch and
triton, which load when they are asked for.
"""
