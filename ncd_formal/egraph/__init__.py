"""Search in an e-graph: the laws as egglog programs, run under a budget, every use recorded.

What is found here is only found: it is proved by the instances of laws that the search records,
which :mod:`ncd_formal.proof` closes and :mod:`ncd_formal.certificate` checks.
"""
