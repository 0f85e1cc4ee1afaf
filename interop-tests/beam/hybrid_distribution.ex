defmodule Tiebeam.HybridDistribution do
  @moduledoc """
  Places children in a `Horde.DynamicSupervisor` that has BEAM members and Rust members: each where it can run.

  The twin of `tiebeam::horde::Hybrid`; all members must be told the same:

      config :tiebeam,
        rust_nodes: "rust",                # nodes whose names begin so are Rust's
        rust_modules: [MyApp.Counter],     # children started by these run on Rust nodes only
        both_modules: []                   # children started by these run anywhere

  All other children run on BEAMs only. A child that no living member can run is answered with
  `{:error, {:no_member_runs, module}}`.
  """
  @behaviour Horde.DistributionStrategy

  @impl true
  def choose_node(child_spec, members) do
    module = with %{start: {module, _, _}} <- child_spec, do: module, else: (_ -> nil)
    alive = Enum.filter(members, &match?(%{status: :alive}, &1))

    case Enum.filter(alive, &runs?(&1, module)) do
      [] when alive == [] -> {:error, :no_alive_nodes}
      [] -> {:error, {:no_member_runs, module}}
      able -> Horde.UniformDistribution.choose_node(child_spec, able)
    end
  end

  @impl true
  def has_quorum?(_members), do: true

  defp runs?(%{name: {_, node}}, module) do
    rust? = String.starts_with?(Atom.to_string(node), env(:rust_nodes, "rust"))
    module in env(:both_modules, []) or module in env(:rust_modules, []) == rust?
  end

  defp env(key, default), do: Application.get_env(:tiebeam, key, default)
end
