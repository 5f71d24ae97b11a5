"""Train, calibration and test parts; groups and near-duplicates are kept together."""
