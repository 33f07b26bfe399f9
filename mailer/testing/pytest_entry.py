"""What pytest finds by the entry point ``mailer``: it asks for the plug-in, so that ``-p`` may have loaded it before.

Of a plug-in that is loaded under two names pytest makes an error. ``-p no:mailer`` turns it off.
"""

pytest_plugins = ("mailer.testing.pytest_plugin",)
