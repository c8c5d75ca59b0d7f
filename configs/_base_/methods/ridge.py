# Ridge regression to the text features; penalty and temperature are chosen on
# left-out seen classes. The seed only divides these.
fit = dict(method=dict(name="ridge"))
