"""`dac bench`: how fast a machine trains, what with, and how exactly; and the page that shows it."""
