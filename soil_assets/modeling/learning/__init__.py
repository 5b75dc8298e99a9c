"""Learners, one a file: a module here with ``fit(data, recipe)`` is a learner under its own name.

A learner whose models need their own prediction form adds ``predictor_from_parts(facts, arrays)``, and gives its
predictor the facts' ``kind`` of the module's name.
"""
