"""The engine of Leaky Gradients: what a researcher imports. It knows no notebook, no stored result
and no claim.

A file imports only from those that stand below it here:

8  audit          one update, one report: everything that fits, within a budget; the command

7  generators     small GANs as priors, and a prior learned from gradients
7  attacks        one preset a paper; the doors `reconstruct`, `problem` and `diagnose`

6  diagnose       look before and after attacking: a table of small checks
6  reconstruct    run an attack: K clients x R restarts, and the best restart of each
6  problem        what an attack minimises on an update, from where, with which optimiser
6  formula        the function itself, from dummy variables to a number
6  honest         what honest clients of the same model and protocol would share

5  attack         the settings of an attack, and what it takes for granted
5  spaces         what is searched: pixels, latents, a layer, parameters

4  engine         many problems at once: traced, in lanes or batched, minimised, captured

3  exact          whole batches by linear algebra; models of a dishonest server; what a client sees
3  analytic       closed forms
3  labels         rules that read labels off the last layer
3  objectives     distances between gradients
3  priors         regularisers on dummy images

2  models         victims and their initialisation
2  training       training a victim, with or without a defense
2  client         what a client computes and shares
2  aggregation    the mean of several clients' updates: `aggregate`
2  update         what the attacker holds: `SharedUpdate`
2  update_files   its file
2  update_checks  its checks
2  card           its assumptions, in words
2  evidence       what a message gives away beside gradients
2  messages       from what a framework sent to tensors of the model
2  intake         the one door for tensors
2  members        the clients in a mean, and the mean as a function
2  protocol       what client and server agree on; the threat model
2  defenses       what a client may do about it
2  bounds         what no attack on DP-SGD can exceed
2  mixing         MixUp and InstaHide, and decoding them
2  precode        PRECODE, a random bottleneck before the head
2  soteria        Soteria, which prunes by what the features tell of an image

1  blocks         parts that networks are built of
1  batching       the one door for models
1  probes         is the prepared copy the same network?
1  twice          can it be differentiated twice in batches?
1  copies         a copy that can be batched
1  adapters       low-rank adapters beside frozen weights
1  ensembles      many victims as one module
1  metrics        how near a reconstruction comes
1  data           image sets and private batches
1  image_files    packed sets and folders
1  image_checks   checks of images and labels
1  embedded       image sets that come with the libraries

0  run            profile, seed, device, precision, progress
0  layers         what is rewritten so that it can be batched
0  sealed         what a process has found out, for the next one
0  descriptions   what tells a function or a module from others
0  limits         a time by which work ends
0  files          files that are whole or not there
0  checks         values of the right type and range
"""
