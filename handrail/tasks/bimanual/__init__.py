"""Two-handed household tasks on two ViperX arms: one scene (`viperx.py`), one base (`base.py`), a file a task."""
