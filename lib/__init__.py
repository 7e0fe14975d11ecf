"""The engine of Leaky Gradients: what every notebook imports, and nothing that knows a notebook.

A file imports only from floors below its own:

7  experiment                        config -> rows, what every stored cell is made of
6  generators                        generative priors, and one learned by attacks
5  attacks                           one preset a paper
4  engine, optimizers                K clients x R restarts as one traced, batched problem
3  objectives, priors, labels, analytic
2  client, defenses
1  models, data, metrics
0  run, results, plots
"""
