"""Run folders: reading, finding, training, exporting and comparing runs."""
