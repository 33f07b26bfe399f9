"""Flask and Quart: mailers for each app, from its configuration.

::

    mail = FlaskMailer()


    def create_app():
        app = Flask(__name__)
        app.config["MAILER_URL"] = "smtp://user:secret@smtp.example.com"
        app.config["MAILER_FROM"] = "Shop <shop@example.com>"
        mail.init_app(app)
        return app


    @blueprint.post("/orders")
    def order():
        mail.send(Message(to="ann@example.org", template="order", context={"order": order}))

``app.config`` is all that is read (:mod:`mailer.contrib.flask.config`): no environment, no file, unless the app takes
them in, by ``app.config.from_prefixed_env()`` or ``MAILER = mailer.Settings()``.

Reading order: ``extension.py`` is what apps use, ``app_mailers.py`` what stands behind it in each app; the other files
are one feature each.
"""

from __future__ import annotations

from ...errors import ConfigError

try:
    from .extension import FlaskMailer, QuartMailer
except ModuleNotFoundError as error:
    if error.name not in ("flask", "blinker"):
        raise
    raise ConfigError(
        "mailer.contrib.flask needs Flask: pip install 'mailwright[flask]', or 'mailwright[quart]'"
    ) from error

__all__ = ["FlaskMailer", "QuartMailer"]
