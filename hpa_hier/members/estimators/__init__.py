"""Estimators: members that are classifiers of scikit-learn, on feature vectors."""
