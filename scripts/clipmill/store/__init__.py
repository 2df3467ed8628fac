"""The contents of an output folder: its layout, its tables, the index of videos."""
