"""Who people are: accounts and groups, passwords, sign-in links, cookies and API tokens."""
