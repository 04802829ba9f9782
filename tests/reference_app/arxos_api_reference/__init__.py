"""The reference Arxos API: a small program that keeps the application contract of the platform."""

__version__ = "0.0.0"  # build_release.py writes the version of the release here
