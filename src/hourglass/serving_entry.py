"""What MLflow runs to make the registered model: code instead of a pickle."""

from mlflow.models import set_model

from hourglass.serving import RawRows

set_model(RawRows())
