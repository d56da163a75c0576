"""Widgets for notebooks and the report's page: one script each, and a shared style sheet."""
