"""The engine of Leaky Gradients: what every notebook imports, and nothing that knows a notebook.

A file imports only from floors below its own:

10  experiment                       config -> rows, what every stored cell is made of
9  generators                        generative priors, and one learned by attacks
8  attacks                           one preset a paper
7  engine, optimizers, diagnose      K clients x R restarts as one traced, batched problem
6  objectives, priors, labels, analytic, tracing
5  client                            a client computes its update
4  update, models                    what is shared, and whose it may be; victims
3  evidence                          what a message gives away beside gradients
2  protocol, intake, training        what is agreed; what frameworks send; training a victim
1  batching, data, metrics           a module that vmap and double backward can run; images
   defenses                          what a client may do about it
0  checks, files, layers, run, plots, results
"""
