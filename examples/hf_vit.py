"""A Vision Transformer of Hugging Face, built from a config: what one gradient gives away."""

import torch
from leaky_gradients import attacks, audit, client, data
from transformers import ViTConfig, ViTForImageClassification

photos = data.load("photos", size=16)
batch = photos.clients(1)
torch.manual_seed(0)
net = ViTForImageClassification(ViTConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
    image_size=16, patch_size=8, num_labels=len(photos.classes)))
net.eval()

net(batch.images[0], labels=batch.labels[0]).loss.backward()
gradients = {name: parameter.grad for name, parameter in net.named_parameters()}

update = client.SharedUpdate.from_gradients(net, gradients, shape=photos.images.shape[1:],
                                            num_classes=len(photos.classes))
print(attacks.diagnose(update, attacks.dlg()).to_string())
report = audit.audit(update, budget=20, truth=batch.images[0], labels=batch.labels[0])
with open("hf_vit.html", "w") as file:
    file.write(audit.as_html(report))
print("Audit:", report.verdict.sentence, *report.verdict.reasons, "See hf_vit.html")
