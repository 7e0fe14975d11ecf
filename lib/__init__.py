"""The engine of Leaky Gradients: what every notebook imports, and nothing that knows a notebook.

A file imports only from floors below its own:

11  experiment                       config -> rows, what every stored cell is made of
10  generators                       generative priors, and one learned by attacks
9  attacks                           one preset a paper
8  diagnose                          what stands in an attack's way
7  engine, optimizers, honest        K clients x R restarts as one traced, batched problem
6  objectives, priors, labels, analytic, tracing
5  client                            a client computes its update
4  update, models                    what is shared, and whose it may be; victims
3  evidence                          what a message gives away beside gradients
2  protocol, intake, training        what is agreed; what frameworks send; training a victim
1  batching, data, metrics, defenses  modules that vmap and double backward can run; images
0  checks, files, layers, run, plots, results
"""
