"""Whether what is stored is whole, and repairing what can be repaired from the rest."""
