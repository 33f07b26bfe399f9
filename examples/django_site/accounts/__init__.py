"""Signing up, with a mail that asks the owner of the address."""
