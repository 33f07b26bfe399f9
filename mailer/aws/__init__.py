"""AWS: keys that sign requests, and where they come from.

``credentials`` says what they are; ``profile`` reads AWS' own files, ``metadata`` what a container's and an instance's
metadata service answer, both pure; ``source`` asks one after the other.
"""
