"""How good a registration is: metrics, cases with a known truth, peers, and the tables made of them."""
