"""Training of taggers: examples, fitting, calibration, reports."""
