"""MLflow's server with the users of compose.yaml: each part of the platform gets what it needs and no more.

Makes the users that SOIL_REGISTRY_USERS names (``name=password``, separated by spaces), or gives them these passwords,
and becomes ``mlflow`` with the arguments of this script. None of them is an administrator: a user may read everything,
and manages what it has registered itself.
"""

import os
import sys

from mlflow.exceptions import MlflowException
from mlflow.server.auth.config import read_auth_config
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

store = SqlAlchemyStore()
store.init_db(read_auth_config().database_uri)
for line in os.environ.pop("SOIL_REGISTRY_USERS").split():
    name, _, password = line.partition("=")
    try:
        store.create_user(name, password)
    except MlflowException:  # it is there from an earlier start
        store.update_user(name, password=password, is_admin=False)
os.execvp("mlflow", ["mlflow", *sys.argv[1:]])  # noqa: S606  # arguments of compose.yaml
