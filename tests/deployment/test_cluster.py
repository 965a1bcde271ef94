import os
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda

from deployment.composing import ROOT
from dras_service.api.jobs import RUNNING, JobState
from dras_service.api.queues import JobQueue
from dras_service.store.engine import open_engine
from dras_service.store.rows import StoredStudy
from dras_service.store.store import Store

FOLDER = ROOT / "deploy/kubernetes"
NODE = FOLDER / "pacs"  # a component, for overlays of a site with a PACS
KEDA = {"ScaledObject": keda.ScaledObject, "TriggerAuthentication": keda.TriggerAuthentication}


def documents(folder: Path = FOLDER) -> list[dict]:
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [document for name in names for document in yaml.safe_load_all((folder / name).read_text())]


def of(kind: str, folder: Path = FOLDER) -> dict[str, dict]:
    return {found["metadata"]["name"]: found for found in documents(folder) if found["kind"] == kind}


@pytest.fixture(scope="module")
def pods() -> dict[str, dict]:
    return {name: found["spec"]["template"]["spec"] for name, found in of("Deployment").items()}


@pytest.fixture(scope="module")
def node() -> dict:
    return of("StatefulSet", NODE)["pacs"]["spec"]


def test_every_resource_follows_the_schema_of_its_kind():
    for document in [*documents(), *documents(NODE)]:
        if model := KEDA.get(document["kind"]):
            model.model_validate(document)
        else:
            kubernetes_validate.validate(document, "1.33", strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found():
    gateway = of("Deployment")["gateway"]
    gateway["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(gateway, "1.33", strict=True)


def test_every_file_is_part_of_the_whole_and_kustomize_builds_it():
    listed = set(yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"])
    assert listed == {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    built = subprocess.run([kubectl, "kustomize", FOLDER], capture_output=True, text=True, check=True).stdout
    namespaces = {found["metadata"].get("namespace", "dras") for found in yaml.safe_load_all(built)}
    assert namespaces == {"dras"}


def test_an_overlay_with_the_dicom_node_is_built_whole(tmp_path: Path):
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    overlay = {
        "resources": [os.path.relpath(FOLDER, tmp_path.resolve())],
        "components": [os.path.relpath(NODE, tmp_path.resolve())],
        "images": [{"name": "dras-gateway", "newTag": "9.9.9"}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    command = [kubectl, "kustomize", tmp_path]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (node,) = (found for found in yaml.safe_load_all(built) if found["kind"] == "StatefulSet")
    assert node["metadata"]["namespace"] == "dras"
    assert node["spec"]["template"]["spec"]["containers"][0]["image"] == "dras-gateway:9.9.9"


def test_the_dicom_node_keeps_what_it_has_acknowledged_where_it_stays_and_sees_who_calls(node):
    (claim,) = node["volumeClaimTemplates"]
    mounts = node["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/data"} in mounts
    assert of("Service", NODE)["pacs"]["spec"]["externalTrafficPolicy"] == "Local"


def test_pods_run_as_nobody_on_a_root_they_cannot_write(pods, node):
    for name, pod in {**pods, "pacs": node["template"]["spec"]}.items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not pod["automountServiceAccountToken"], name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]


def test_users_of_the_images_are_those_of_the_pods(pods):
    for name, pod in pods.items():
        file = (ROOT / f"deploy/docker/{name}.Dockerfile").read_text()
        assert f"USER {pod['securityContext']['runAsUser']}\n" in file


def test_only_workers_with_a_gpu_go_where_one_is(pods):
    for name, pod in pods.items():
        limits = pod["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limits) == (name == "worker-gpu") == ("nodeSelector" in pod)


def test_every_queue_of_a_study_in_stages_has_workers(pods):
    served: list[str] = []
    for name, pod in pods.items():
        given = {variable["name"]: variable["value"] for variable in pod["containers"][0]["env"]}
        if name != "gateway":
            served += yaml.safe_load(given["DRAS_WORKER__QUEUES"])
    assert sorted(served) == sorted(queue.value for queue in JobQueue)


def test_each_deployment_is_scaled_by_something_and_none_fixes_its_own_number():
    deployments = of("Deployment")
    scaled = {found["spec"]["scaleTargetRef"]["name"] for found in of("ScaledObject").values()}
    scaled |= {found["spec"]["scaleTargetRef"]["name"] for found in of("HorizontalPodAutoscaler").values()}
    assert scaled == set(deployments)
    assert not any("replicas" in found["spec"] for found in deployments.values())
    for name, budget in of("PodDisruptionBudget").items():
        assert budget["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": name}
        assert name in deployments


def test_workers_are_as_many_as_jobs_of_their_queues_ask_for(tmp_path: Path, pods):
    store = Store(open_engine(f"sqlite:///{tmp_path / 'jobs.sqlite3'}"), first_queue=JobQueue.ENCODE)
    store.migrate()
    store.tenants.create("default")
    for number in range(3):
        store.submission.submit(StoredStudy(f"default/{number}", f"{number:064}", 1, 1), tenant="default")
    for name, scaled in of("ScaledObject").items():
        (trigger,) = scaled["spec"]["triggers"]
        query = trigger["metadata"]["query"]
        with store._database.read() as connection:
            assert connection.exec_driver_sql(query).scalar_one() == (3 if name == "worker-gpu" else 0)
        given = {variable["name"]: variable["value"] for variable in pods[name]["containers"][0]["env"]}
        for queue in yaml.safe_load(given["DRAS_WORKER__QUEUES"]):
            assert f"'{queue}'" in query
        for state in (JobState.QUEUED, *RUNNING):
            assert f"'{state.value}'" in query
    store.close()


def test_nobody_reaches_a_worker_and_only_the_ingress_and_prometheus_a_gateway():
    policies = of("NetworkPolicy")
    everything = policies["nothing"]["spec"]
    assert everything == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    opened = {name: found["spec"] for name, found in policies.items() if "ingress" in found["spec"]}
    assert list(opened) == ["to-gateway"]
    assert opened["to-gateway"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "gateway"}


def test_dicomweb_goes_by_the_key_to_one_gateway_and_is_bounded_as_everything_else_is():
    prefix = "nginx.ingress.kubernetes.io/"
    told = {name: dict(found["metadata"]["annotations"]) for name, found in of("Ingress").items()}
    paths = {
        path["path"]: name
        for name, found in of("Ingress").items()
        for path in found["spec"]["rules"][0]["http"]["paths"]
    }
    assert paths["/dicom-web"] == "gateway-dicomweb"
    assert told["gateway-dicomweb"].pop(f"{prefix}upstream-hash-by") == "$http_authorization"
    assert told["gateway-dicomweb"] == told["gateway"]


def test_no_secret_is_among_the_resources():
    assert "Secret" not in {document["kind"] for document in documents()}
