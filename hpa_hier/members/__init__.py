"""Members: networks that each answer for a tuple of nodes; trained, kept and scored with here."""
