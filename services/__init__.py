"""What every part of Vitrine needs: domain types, settings, encoders, stores, search. Imports no other part."""
