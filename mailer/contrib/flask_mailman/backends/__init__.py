"""The backends, a module for each, as in ``flask_mailman.backends``."""
