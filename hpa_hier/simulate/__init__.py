"""Drawn cells with known labels: geometry, patterns, optics, label sets, and writing them to disk.

Import from the files: `simulate.field.draw_field`, `simulate.labelsets.draw_labels`, `simulate.write.write_folder`.
"""
