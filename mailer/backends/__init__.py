"""What carries a mail: one file a backend. :mod:`mailer.backends.url` makes them from URLs."""

__all__: list[str] = []
