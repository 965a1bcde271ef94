"""A pair's result of invented numbers."""

from dras_model.results.codes import Code
from dras_model.results.pair import DeformationQuality, PairedScan, PairProvenance, PairResult
from dras_model.results.study import Region, Score, StudyWarning
from unit.dras_model.stored import stored_result


def pair_result() -> PairResult:
    study = stored_result()
    scan = PairedScan(
        series_instance_uid="1.2",
        input_sha256="a" * 64,
        candidates=(),
        acquisition=study.acquisition,
        geometry=study.geometry,
        lungs=study.qc.lungs,
        warnings=(),
    )
    scores = tuple(
        Score(
            code=code, value=value, unit=unit, region=Region.WHOLE, n_voxels=1, volume_ml=1.0, phase="paired",
            definition="", reference="", reason=None if value is not None else "folded",
        )
        for code, value, unit in (("E/I-volume", 0.61, "1"), ("PRM-fSAD", None, "%"))
    )  # fmt: skip
    return PairResult(
        status="partial",
        inspiration=scan,
        expiration=scan,
        scores=scores,
        warnings=(StudyWarning.of(Code.KERNEL_DIFFERS, baseline="B31f", other="B70f"),),
        deformation=DeformationQuality(
            dice_right=0.98, dice_left=0.98, jacobian_least=0.5, jacobian_mean=1.4, jacobian_most=2.3,
            folded_percent=0.0, similarity=0.86, shift_mean_mm=20, shift_most_mm=40,
        ),
        timings={"total": 1.0},
        provenance=PairProvenance(dras_version="0", libraries={}, parameters={}),
    )  # fmt: skip
