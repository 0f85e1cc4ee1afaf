defmodule Hive.Worker do
  @moduledoc "Counts, under a name that the whole Horde knows."
  use GenServer

  def start_link(n), do: GenServer.start_link(__MODULE__, 0, name: via(n))

  def child_spec(n), do: %{id: {__MODULE__, n}, start: {__MODULE__, :start_link, [n]}}

  def via(n), do: {:via, Horde.Registry, {Hive.Registry, {:worker, n}}}

  @impl true
  def init(count), do: {:ok, count}

  @impl true
  def handle_call(:bump, _from, count), do: {:reply, count + 1, count + 1}
end
