"""Pictures from the web: which addresses may be asked, and downloads within bounds."""
