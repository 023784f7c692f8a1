"""Who people are: accounts and groups, passwords, second factors, sign-in links, cookies and API tokens."""
