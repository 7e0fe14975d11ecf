"""The engine of Leaky Gradients: what every notebook imports, and nothing that knows a notebook.

A file imports only from floors below its own:

8  experiment                        config -> rows, what every stored cell is made of
7  generators                        generative priors, and one learned by attacks
6  attacks                           one preset a paper
5  engine, optimizers, diagnose      K clients x R restarts as one traced, batched problem
4  objectives, priors, labels, analytic
   tracing                           one flat graph of tensor operations out of a function
3  models, client
2  update, training                  what is shared, and whose it may be; training a victim
1  batching, data, metrics           a module that vmap and double backward can run; images
   defenses                          what a client may do about it
0  run, checks, results, plots
"""
