"""Tables and figures from the records alone; figures need matplotlib, the family of P torch."""
