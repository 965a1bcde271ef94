"""Who may do what, and the record of what was done. Knows neither HTTP nor SQL."""
