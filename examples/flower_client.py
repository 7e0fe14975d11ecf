"""A Flower client in Flower's own simulation, and an audit of what it sent in one round."""

import torch
from flwr.client import ClientApp, NumPyClient
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation
from leaky_gradients import audit, client, data, models

digits = data.load("digits")
net = models.lenet(digits, seed=0)
before = [value.numpy().copy() for value in net.state_dict().values()]


class Client(NumPyClient):
    def fit(self, parameters, config):
        tensors = map(torch.from_numpy, parameters)
        net.load_state_dict(dict(zip(net.state_dict(), tensors, strict=True)))
        batch = digits.clients(1)
        loss = torch.nn.functional.cross_entropy(net(batch.images[0]), batch.labels[0])
        loss.backward()
        torch.optim.SGD(net.parameters(), lr=0.1).step()
        return [value.numpy() for value in net.state_dict().values()], 1, {}


class Server(FedAvg):
    def aggregate_fit(self, server_round, results, failures):
        (_, sent), = results
        protocol = client.Protocol(sends="weights", local_lr=0.1)
        update = client.SharedUpdate.from_weights(
            before, parameters_to_ndarrays(sent.parameters), net, protocol,
            shape=(1, 8, 8), num_classes=10)
        print("Audit:", audit.audit(update, budget=10).verdict.sentence, flush=True)
        return super().aggregate_fit(server_round, results, failures)


def components(context):
    strategy = Server(fraction_evaluate=0.0, min_fit_clients=1, min_available_clients=1,
                      initial_parameters=ndarrays_to_parameters(before))
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=1))


app = ClientApp(client_fn=lambda context: Client().to_client())
run_simulation(ServerApp(server_fn=components), app, num_supernodes=1,
               backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}})
