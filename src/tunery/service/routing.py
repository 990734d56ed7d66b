"""Who carries a job out, and which model a name means."""

import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from tunery.core.errors import InvalidValue

LOCAL = "local"
"""The engine that is this machine, and the kind of account that gives it another name."""

_ENGINE_OF_KIND: Mapping[str, str] = {LOCAL: LOCAL}
"""The engine behind an account of each kind that there is."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Routing:
    """The engines and accounts that the operator configured, and the table of routes to them."""

    def __init__(
        self,
        *,
        engines: Collection[str] = (LOCAL,),
        accounts: Mapping[str, str] | None = None,
        routes: Mapping[str, str] | None = None,
    ) -> None:
        """`accounts` are kinds by name; `routes` are engines or accounts by pattern of model.

        Of several patterns that fit, the first one holds.

        Raises:
            InvalidValue: an account or a route cannot be; the message names the setting.
        """
        self._engines = frozenset(engines)
        self._accounts = dict(accounts or {})
        self._routes = dict(routes or {})
        for name, kind in self._accounts.items():
            self._check_account(name, kind)
        for pattern, target in self._routes.items():
            if not self._is_known(target):
                raise InvalidValue(
                    f"The setting routes sends {pattern!r} to {target!r}, which is neither an "
                    f"engine nor an account. {self.known}",
                    param="routes",
                )

    @property
    def known(self) -> str:
        """What is configured, in a sentence for who named something else."""
        engines = ", ".join(sorted(self._engines)) or "none"
        accounts = ", ".join(sorted(self._accounts)) or "none"
        return f"Engines here: {engines}. Accounts here: {accounts}."

    def check(self, name: str) -> None:
        """Refuse, with InvalidValue, what is neither an engine's nor an account's name."""
        if not self._is_known(name):
            raise InvalidValue(
                f"There is no engine or account {name[:80]!r}. {self.known}", param="engine"
            )

    def model(self, name: str) -> str:
        """The model's own name where `name` is `account/model`; else `name` itself."""
        account, model = self._split(name)
        return name if account is None else model

    def engine(self, model: str, *, named: str | None = None, vendor: str | None = None) -> str:
        """The engine for a job on `model`, as the caller wrote it.

        What the request names comes first: an engine or account (`named`), the account before the
        model's name, a kind of account (`vendor`). Then the table of routes, then this machine.

        Raises:
            InvalidValue: nothing is called `named`.
        """
        if named is not None:
            self.check(named)
            return self._engine_of(named)
        account, own_name = self._split(model)
        if account is not None:
            return self._engine_of(account)
        if vendor is not None:
            return self._engine_of_vendor(vendor)
        for pattern, target in self._routes.items():
            if fnmatchcase(own_name, pattern):
                return self._engine_of(target)
        return self._engine_of(LOCAL)

    def _split(self, name: str) -> tuple[str | None, str]:
        account, slash, model = name.partition("/")
        if slash and account in self._accounts:
            return account, model
        return None, name

    def _engine_of_vendor(self, vendor: str) -> str:
        kind = vendor.lower()
        for name, its_kind in self._accounts.items():
            if its_kind == kind:
                return self._engine_of(name)
        return self._engine_of(LOCAL)

    def _engine_of(self, name: str) -> str:
        kind = self._accounts.get(name)
        engine = name if kind is None else _ENGINE_OF_KIND[kind]
        if engine not in self._engines:
            raise InvalidValue(f"There is no engine {engine!r}. {self.known}", param="engine")
        return engine

    def _is_known(self, name: str) -> bool:
        return name in self._engines or name in self._accounts

    def _check_account(self, name: str, kind: str) -> None:
        if _NAME.fullmatch(name) is None:
            raise InvalidValue(
                f"The setting accounts has an account {name[:80]!r}; a name has 1 to 64 letters, "
                'digits, ".", "_" and "-", and begins with a letter or digit.',
                param="accounts",
            )
        if name in self._engines:
            raise InvalidValue(
                f"The setting accounts has an account {name!r}, which is the name of an engine; "
                "give it another.",
                param="accounts",
            )
        if kind not in _ENGINE_OF_KIND:
            raise InvalidValue(
                f"The setting accounts gives {name!r} the kind {kind!r}, which is not there yet; "
                f"the kinds are {', '.join(sorted(_ENGINE_OF_KIND))}.",
                param="accounts",
            )
