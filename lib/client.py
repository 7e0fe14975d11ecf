"""What a client does: `share` computes the update that leaves it."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import batching, checks, defenses, run
from .aggregation import aggregate  # noqa: F401  (a public name)
from .data import Batch, Embeddings
from .update import (  # noqa: F401  (the public names of what is shared)
    LOSSES,
    AssumptionError,
    Members,
    Protocol,
    SharedUpdate,
    ThreatModel,
    buffer_evidence,
    certain_logits,
    check_outputs,
    check_range,
    checked_moments,
    checked_protocol,
    dummy_gradients,
    gradient_weight,
    hard_targets,
    local_slices,
    local_step,
    loss_function,
    mean_function,
    outputs_of,
    read_labels,
    soft_targets,
    steps_of,
    still,
    tensors,
    to_input,
    update_function,
)


def share(model, batch, protocol=None, defense=None, threat=None, seed=0) -> SharedUpdate:
    """The update that K clients share (batch.images (K, B, C, H, W) in [0, 1], labels (K, B)).

    `batch`: a `data.Batch` of images, or `data.Embeddings` (K, B, width) of tokens.
    `model`: one victim for all clients, or an `ensemble` of K. `defense`: None, a defense, or a
    list or tuple of them (see `defenses`). Errors: ValueError for images that do not fit the model,
    labels out of range, a defense that is none, or non-finite results."""
    protocol, threat = _checked(batch, protocol, threat, seed)
    run.current()  # ieee float32, also for those who did not start a run
    shape = tuple(batch.images.shape[2:])
    ready, notes = batching.ready(model, protocol.mode, shape)
    classes = outputs_of(ready, shape)
    check_outputs(protocol, classes)
    base, stacked = batching.architecture(ready)
    params, buffers = tensors(ready)
    like = next(iter(params.values()))
    if stacked and ready.size != len(batch.images):
        raise ValueError(f"{len(batch.images)} clients but an ensemble of {ready.size} victims")
    check_range(batch.labels, classes)
    mean, std = checked_moments(batch.mean, batch.std, shape[0], protocol.normalise)
    steps, rngs = defenses.steps(defense), _rngs(seed, len(batch.images))
    x, target, labels = _encoded(batch.images, batch.labels, classes, steps, rngs)
    _check_granted_labels(threat, labels)
    x = to_input(x.to(like), False, protocol.normalise, mean, std)
    gradients = _updates(base, params, buffers, stacked, protocol, x, target.to(x), steps)
    for step in steps:
        if hasattr(step, "with_model"):
            gradients = _beside_the_model(step, gradients, ready, stacked, protocol, x)
        if hasattr(step, "update"):
            changed = [defenses.apply_update(step, {n: g[k] for n, g in gradients.items()}, rng)
                    for k, rng in enumerate(rngs)]
            gradients = {n: torch.stack([e[n] for e in changed]) for n in gradients}
    granted = {}
    if threat.labels == "known":
        granted["labels"] = labels.to(like.device)
        if any(hasattr(step, "encode") for step in steps):
            granted["targets"] = target.to(x)
    if threat.defense_known:
        granted["defense"] = defense
    if threat.bn_statistics == "exact":
        granted["statistics"] = _statistics(base, params | buffers, stacked, x)
    if threat.mixing_keys:
        granted["keys"] = _keys(batch, steps, seed)
    return SharedUpdate({n: g.detach() for n, g in gradients.items()}, protocol, ready, shape,
                        classes, x.shape[1], threat, mean, std, notes=notes, **granted)


def _beside_the_model(step, gradients, ready, stacked, protocol, x) -> dict[str, Tensor]:
    """(K, ...) updates after `with_model` of each client; ValueError for local steps, which have
    several models."""
    if protocol.local_lr is not None:
        raise ValueError("a defense that looks at the model needs one gradient, not local steps")
    changed = []
    for k, fed in enumerate(x):
        of_client = {n: g[k].detach() for n, g in gradients.items()}
        model = ready.member(k) if stacked else ready
        changed.append(defenses.apply_with_model(step, of_client, model, fed))
    return {n: torch.stack([one[n] for one in changed]) for n in gradients}


def _checked(batch, protocol, threat, seed) -> tuple[Protocol, ThreatModel]:
    """Protocol and threat model, or their defaults; ValueError for arguments of another type."""
    if not isinstance(batch, Batch | Embeddings):
        raise ValueError("batch is a data.Batch, images (K, B, C, H, W) and labels (K, B), as "
                         "ImageSet.clients deals it, or data.Embeddings, not "
                         f"{type(batch).__name__}")
    if threat is not None and not isinstance(threat, ThreatModel):
        raise ValueError(f"threat is a client.ThreatModel, not {type(threat).__name__}")
    checks.whole("seed", seed, least=0)
    protocol, threat = checked_protocol(protocol), threat or ThreatModel()
    if protocol.mode == "eval" and threat.bn_statistics != "inferred":
        raise ValueError("bn_statistics is about clients in train mode: in eval mode they use the "
                         "model's own statistics, which are public")
    return protocol, threat


def _check_granted_labels(threat: ThreatModel, labels: Tensor) -> None:
    """ValueError where the batches are not as the threat model says of their labels (K, B)."""
    if threat.labels == "equal" and bool((labels != labels[:, :1]).any()):
        raise ValueError("threat.labels is 'equal', but the images of a client differ in label")
    if threat.labels == "unique" and any(len(row.unique()) < len(row) for row in labels):
        raise ValueError("threat.labels is 'unique', but a client has a label twice")


def drawn(batch, defense, seed=0) -> Batch:
    """What each client feeds, after `draw` and `encode` of the defense: a Batch (labels: of an
    encoding, the heaviest). `share` with the same batch, defense and seed feeds the same; for
    scoring, never for attacking."""
    rngs = _rngs(seed, len(batch.images))
    x, _, labels = _encoded(batch.images, batch.labels, batch.num_classes,
                            defenses.steps(defense), rngs)
    return replace(batch, images=x.clamp(0, 1), labels=labels, indices=None)  # means round above 1


def _statistics(base, state, stacked, x) -> dict[str, Tensor]:
    """Mean and biased variance of what every BatchNorm sees of each client's batch x, by the names
    of the buffers that hold the model's own: (K, channels)."""
    def moments_of(s, v) -> dict[str, Tensor]:
        return {f"{name}.running_{what}": t for name, mean, var, *_ in batching.moments(base, s, v)
                for what, t in (("mean", mean), ("var", var))}

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        statistics = vmap(moments_of, in_dims=(0 if stacked else None, 0))(state, x)
    if not statistics:
        raise ValueError("threat.bn_statistics is 'exact', and the model has no BatchNorm whose "
                         "statistics could be granted")
    return statistics


def _keys(batch, steps, seed: int) -> tuple[Tensor, Tensor]:
    """The keys of the first defense that mixes; what draws before it would move its generator."""
    if not steps or not hasattr(steps[0], "keys"):
        raise ValueError("threat.mixing_keys: the first defense must be one that mixes images")
    drawn_keys = [steps[0].keys(len(y), rng)
            for y, rng in zip(batch.labels, _rngs(seed, len(batch.labels)), strict=True)]
    return tuple(torch.stack(t) for t in zip(*drawn_keys, strict=True))


def _rngs(seed: int, clients: int) -> list[torch.Generator]:
    return [run.generator("defense", seed, k) for k in range(clients)]


def _heaviest(target: Tensor) -> Tensor:
    """The label (B,) with the largest share of each target (B, classes); of one output, rounded."""
    return target[:, 0].round().long() if target.shape[-1] == 1 else target.argmax(-1)


def _encoded(images, truth, classes, steps, rngs) -> list[Tensor]:
    """What each client feeds: after `draw` and `encode` of every defense, in order."""
    batches = []
    for x, y, rng in zip(images, truth, rngs, strict=True):
        target = hard_targets(y, classes).to(x.dtype)
        for step in steps:
            if hasattr(step, "draw"):
                chosen = defenses.apply_draw(step, y, rng)
                x, y, target = x[chosen], y[chosen], target[chosen]
            if hasattr(step, "encode"):
                x, target = defenses.apply_encode(step, x, target, rng)
                y = _heaviest(target)
        batches.append((x, target, y))
    if len({len(x) for x, _, _ in batches}) > 1:
        raise ValueError("a defense drew batches of different sizes: clients must share one size")
    defenses.check_batch_size(steps, len(batches[0][0]))
    return [torch.stack(parts) for parts in zip(*batches, strict=True)]


def _updates(base, params, buffers, stacked, protocol, x, target, steps) -> dict[str, Tensor]:
    """(K, ...) updates, in slices of clients so that memory stays small."""
    f = update_function(base, protocol)
    single = [s for s in steps if hasattr(s, "per_example")]
    if single and protocol.local_lr is not None:
        raise ValueError("a defense on per-example gradients needs one gradient, not local steps")

    def of_client(p, b, v, t) -> dict[str, Tensor]:
        if not single:
            return f(p, b, v, t)
        per_image = vmap(lambda vi, ti: f(p, b, vi[None], ti[None]))(v, t)
        for step in single:
            per_image = defenses.apply_per_example(step, per_image)
        return {n: g.mean(0) for n, g in per_image.items()}

    axis = 0 if stacked else None
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        of_all = vmap(of_client, in_dims=(axis, axis, 0, 0), chunk_size=32)
        return of_all(params, buffers, x, target)
