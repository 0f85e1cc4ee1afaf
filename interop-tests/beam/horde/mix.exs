defmodule Hive.MixProject do
  use Mix.Project

  def project do
    [
      app: :hive,
      version: "0.1.0",
      elixir: "~> 1.14",
      deps: [
        {:horde, "~> 0.9"},
        {:delta_crdt, "~> 0.6"},
        {:libcluster, "~> 3.3"}
      ]
    ]
  end

  def application do
    [mod: {Hive, []}, extra_applications: [:logger]]
  end
end
