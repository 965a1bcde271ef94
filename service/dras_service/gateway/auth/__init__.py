"""Who may enter the gateway, from where, and what is recorded of it. How a credential is judged is `security`'s."""
