"""DP-SGD by Opacus: what a client's noisy gradient still gives away, beside the plain one."""

import torch
from leaky_gradients import attacks, audit, client, data, models
from opacus import PrivacyEngine
from torch.utils.data import DataLoader, TensorDataset

digits = data.load("digits")
batch = digits.clients(1)


def sent(noise: float | None) -> client.SharedUpdate:
    """What a client sends after one step; noise None: without Opacus."""
    net = models.dense(digits, seed=0).train()
    plain, optimizer = net, torch.optim.SGD(net.parameters(), lr=0.1)
    if noise is not None:
        pairs = DataLoader(TensorDataset(batch.images[0], batch.labels[0]), batch_size=1)
        net, optimizer, _ = PrivacyEngine().make_private(
            module=net, optimizer=optimizer, data_loader=pairs, noise_multiplier=noise,
            max_grad_norm=1.0, poisson_sampling=False)
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    torch.nn.functional.cross_entropy(net(batch.images[0]), batch.labels[0]).backward()
    optimizer.step()
    protocol = client.Protocol(mode="train", sends="weights", local_lr=0.1)
    return client.SharedUpdate.from_weights(before, net.state_dict(), net, protocol,
                                            shape=(1, 8, 8), num_classes=10)


for noise in (None, 1.0):
    update = sent(noise)
    report = audit.audit(update, budget=10, truth=batch.images[0], labels=batch.labels[0])
    print(f"Audit, noise {noise}: {report.verdict.sentence}")
print(attacks.diagnose(update, attacks.dlg()).to_string())
