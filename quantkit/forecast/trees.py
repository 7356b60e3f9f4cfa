"""Trees on features: a random forest and gradient boosting, both shallow and with large leaves."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quantkit.forecast.base import FORECASTERS
from quantkit.forecast.direct import STEPS, Direct

__all__ = ["Forest", "Xgboost"]

#: Share of the rows that a leaf holds at least: a mean over fewer returns is noise.
_LEAF: Final = 0.04
_FOLDS: Final = 4
_SEED: Final = 20_231


@FORECASTERS.add("forest")
class Forest(Direct):
    """A random forest of all five steps at once; believed by its out-of-bag forecasts.

    With ``x`` the features and ``scale`` the local volatility at the origin, ``leaf[b, h](x)`` the mean outcome of the
    leaf that ``x`` falls into in tree ``b``, and ``belief`` the factor that the held-out forecasts deserve::

        E r[t+h] = belief[h] * scale * mean_b leaf[b, h](x)

    Parameters
    ----------
    trees : int
    window : int
        Most recent rows that it learns from.

    References
    ----------
    Breiman, L. (2001). Random forests. Machine Learning 45(1).
    """

    def __init__(self, trees: int = 100, window: int = 2500) -> None:
        super().__init__(window)
        self.trees = trees

    def _learn(self, inputs: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
        from sklearn.ensemble import RandomForestRegressor

        self._model = RandomForestRegressor(
            n_estimators=self.trees,
            min_samples_leaf=max(int(_LEAF * len(inputs)), 10),
            max_features=1 / 3,
            max_samples=0.5,
            oob_score=True,
            n_jobs=1,
            random_state=_SEED,
        ).fit(inputs, outcomes)
        return np.asarray(self._model.oob_prediction_)

    def _forecast(self, inputs: np.ndarray) -> np.ndarray:
        # As the forest's own predict does it, in the same bits; that asks each tree anew whether it was fitted.
        trees, rows = self._model.estimators_, np.ascontiguousarray(inputs, dtype=np.float32)
        total = np.zeros((len(rows), self._model.n_outputs_))
        for tree in trees:
            total += tree.tree_.predict(rows).reshape(total.shape)
        total /= len(trees)
        return total if total.shape[1] > 1 else total[:, 0]

    def _shares(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from shap import TreeExplainer

        explainer = TreeExplainer(self._model)
        return np.asarray(explainer.expected_value), np.asarray(explainer.shap_values(inputs))[0].T


@FORECASTERS.add("xgboost")
class Xgboost(Direct):
    """Gradient boosting of each step; believed by its forecasts of blocks of time that it was not shown.

    With ``leaf[k, h](x)`` the step that tree ``k`` adds down the slope of the squared error, shrunk by the learning
    rate ``eta``; the rest as for ``forest``::

        E r[t+h] = belief[h] * scale * (base[h] + sum_k eta * leaf[k, h](x))

    Parameters
    ----------
    rounds : int
    window : int
        Most recent rows that it learns from.

    Notes
    -----
    The held-out blocks are four contiguous stretches; rows whose outcomes or lags touch a block are kept out of its
    training.

    References
    ----------
    Chen, T. and Guestrin, C. (2016). XGBoost: a scalable tree boosting system. KDD 2016.
    """

    def __init__(self, rounds: int = 60, window: int = 2500) -> None:
        super().__init__(window)
        self.rounds = rounds

    def _learn(self, inputs: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
        self._model = self._boost(inputs, outcomes)
        held_out = np.empty_like(outcomes)
        row = np.arange(len(inputs))
        for fold in np.array_split(row, _FOLDS):
            apart = (row < fold[0] - STEPS) | (row > fold[-1] + STEPS)
            held_out[fold] = self._boost(inputs[apart], outcomes[apart]).inplace_predict(inputs[fold])
        return held_out

    def _boost(self, inputs: np.ndarray, outcomes: np.ndarray) -> Any:
        import xgboost

        settings = {
            "max_depth": 3,
            "eta": 0.05,
            "subsample": 0.7,
            "colsample_bynode": 0.5,
            "min_child_weight": max(_LEAF * len(inputs), 10.0),
            "reg_lambda": 10.0,
            "tree_method": "hist",
            "max_bin": 64,
            "nthread": 1,
            "seed": _SEED,
        }
        return xgboost.train(settings, xgboost.QuantileDMatrix(inputs, outcomes, max_bin=64, nthread=1), self.rounds)

    def _forecast(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(self._model.inplace_predict(inputs), dtype=float)

    def _shares(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from shap import TreeExplainer

        explainer = TreeExplainer(self._model)
        shares = np.asarray(explainer.shap_values(inputs), dtype=float)[0].T
        # Known only now: before the call it is a guess from the model's text.
        return np.asarray(explainer.expected_value, dtype=float), shares
