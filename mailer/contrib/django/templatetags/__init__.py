"""Tags for the templates of mails."""
