"""Learned read-outs of hidden states: scikit-learn estimators on arrays."""
