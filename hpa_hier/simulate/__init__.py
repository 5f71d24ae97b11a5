"""Simulated cells with known labels: geometry, patterns, optics, label sets, and writing them to disk.

Import from the files: `simulate.field.simulate_field`, `simulate.labelsets.draw_labels`, `simulate.write.write_folder`.
"""
