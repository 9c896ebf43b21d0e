"""Batch schedulers: a module, or a package of modules, for each."""
