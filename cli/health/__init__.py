"""Commands that say whether all is well."""
