"""From a derived schedule to code that runs: Triton source, its interpretation, compilation,
accuracy and registration with PyTorch.

Nothing is imported here: each module needs torch and triton, which load only when it is asked for.
"""
