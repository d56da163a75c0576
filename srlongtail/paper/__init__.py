"""The paper's figures and tables, and the numbers it printed."""
